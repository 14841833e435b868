// What people write to an assistant, in their own words: for each language one text for either half (corpus.mjs).
export const everyday = {
    'English, everyday': [
        `Hi! Can you help me plan a trip? We are two adults and a kid of 6, and we have four days at the end of May. We like good food, old towns and short walks, but no big museums. What would you do if you were us?
I have tried to fix the tap in my kitchen but it still drips. I shut the water off, took the top out and put in a new ring. Now it is worse than it was. Do I have to buy a new one, or did I do it wrong?
Write a short mail to my boss. I was sick on Monday and Tuesday, I am back now, and I will send the report by Friday at noon. Keep it nice and do not make it too long, please.
ok thanks, that works. one more thing: how do I get the dog to stop barking when I go out? she is fine when my son is at home.`,
        `Hello, could you look at this text and tell me what is wrong with it? I want to send it to my landlord. He said he would come last week to look at the heating but he never did, and it is cold in here. I do not want to be rude, but I am not going to pay the full rent as long as it is like this.
What is the best way to learn to cook rice so that it does not stick? I use one cup of rice and two cups of water, and I let it boil for ten minutes. My mother does the same and hers is great.
Give me five names for a small bakery near the sea. Not too cute. My friend and I will open it in July, and we want to sell bread, cakes and hot drinks.
no, that is not what I asked for. I need the second one, but with the list at the end and in plain words.`],
    'Vietnamese, everyday': [
        `Chào bạn, mình muốn hỏi cách nấu phở bò tại nhà sao cho nước dùng trong và ngọt. Mình đã thử hai lần rồi nhưng lần nào nước cũng bị đục, ăn thì hơi nhạt. Có phải mình hầm xương chưa đủ lâu không?
Viết giúp mình một email gửi khách hàng: đơn hàng sẽ giao chậm ba ngày vì hết hàng trong kho, bên mình xin lỗi và giảm mười phần trăm cho lần sau. Viết ngắn gọn, lịch sự thôi nhé.
Con mình năm nay lên lớp một, cháu hay quên mang sách vở. Làm thế nào để cháu tự soạn cặp vào buổi tối?`,
        `Anh ơi cho em hỏi, em đang học lập trình Python được hai tháng mà vẫn chưa hiểu vòng lặp với hàm đệ quy khác nhau chỗ nào. Anh giải thích thật dễ hiểu, có ví dụ càng tốt ạ.
Tuần sau gia đình tôi đi Đà Nẵng bốn ngày, có ông bà lớn tuổi nên không đi bộ nhiều được. Bạn gợi ý giúp lịch trình, quán ăn ngon mà giá vừa phải, và nên thuê xe hay gọi taxi?
Cái máy giặt nhà mình kêu to khi vắt, mình kê lại chân máy rồi mà không đỡ. Giờ nên gọi thợ hay tự sửa được?`],
    'Chinese, everyday': [
        `你好,我想问一下怎么做红烧肉才不会太腻。我上次放了很多糖,结果孩子不爱吃。能不能给我一个简单的做法,材料超市里都能买到的那种?
帮我写一封请假的邮件,明天要带妈妈去医院检查,下午就能回来上班,急事可以打我电话。语气客气一点,不要太长。`,
        `我刚买的手机老是自动关机,充满电也只能用半天,店里说没有问题。我应该再去换一台,还是自己先恢复出厂设置试试?
下个月想去成都玩三天,不想去人太多的地方,喜欢喝茶和吃小吃,住在哪里比较方便?请帮我安排一下每天的路线。`],
    'Japanese, everyday': [
        `こんにちは。来週、友だちが家に来るので、簡単に作れる晩ごはんを教えてください。魚は苦手だそうです。前の日に準備できるとうれしいです。
上司に送るメールを書いてほしいです。電車が遅れて会議に間に合わないので、先に始めてもらいたいという内容です。`,
        `最近よく眠れません。寝る前にスマホを見るのをやめたのに、朝の三時ごろ目が覚めてしまいます。どうしたらいいと思いますか。
このプログラムを動かすとエラーが出ます。昨日までは問題なく動いていたのですが、何を確認すればよいでしょうか。`],
    'Arabic, everyday': [
        `مرحبا، أريد أن أتعلم الطبخ من البداية. ما هي أسهل أكلة أبدأ بها وأنا لا أملك إلا قدرا صغيرا وموقدا واحدا؟ أحب الأرز والدجاج ولا أحب الطعام الحار.
اكتب لي رسالة قصيرة إلى صاحب البيت، أخبره أن الماء ينقطع كل يوم بعد الظهر وأن عليه أن يرسل من يصلحه هذا الأسبوع.`,
        `ابني في السابعة من عمره ولا يحب القراءة أبدا، كل مساء نتشاجر بسبب الواجب. كيف أجعله يحب الكتب دون أن أضغط عليه؟
أبحث عن هاتف جيد بسعر معقول، أهم شيء عندي البطارية والكاميرا. هل أشتري الجديد الآن أم أنتظر حتى نهاية السنة؟`],
};
